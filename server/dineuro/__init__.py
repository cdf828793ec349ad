"""From a microscope stack to the neuron's tree: the library that users import."""
