"""Training: image banks, augmentation, targets, losses and the loop; nothing runs on a robot."""
