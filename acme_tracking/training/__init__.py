"""Training: image banks, augmentation, targets, losses and the loop; nothing runs on a robot."""
import acme_tracking.detection  # noqa: F401  (before torch: it says how threads wait)
