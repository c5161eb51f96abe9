"""ResNets as compiled code on vectors of examples: layout, convolutions, normalisations."""
