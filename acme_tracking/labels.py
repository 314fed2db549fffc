"""Names of classes: what the detector finds, and what data sets say beside it."""
CLASSES = ('car', 'truck', 'bus', 'motorcycle', 'person')
# A label that means any of VEHICLES: the publisher did not tell them apart.
VEHICLE = 'vehicle'
VEHICLES = ('car', 'truck', 'bus')
# Label of an ignored box that may hold objects of any class, as KITTI writes it in image banks.
DONT_CARE = 'DontCare'
# A region of a sequence in which nothing was labelled: what lies inside is not scored.
IGNORED_REGION = 'dontcare'
# What the object of a single-object sequence is called, which does not say.
OBJECT = 'object'
