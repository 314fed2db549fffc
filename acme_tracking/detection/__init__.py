"""
The CNN: network, checkpoint, runtimes, pre- and post-processing.  It knows no tracks and no ROS.

torch is imported only by `checkpoint`, `network`, `export`, `refinement`, and the runtimes `torch`
and `huggingface`; the others do without, so nothing is imported here.
"""
