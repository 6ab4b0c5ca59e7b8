"""The networks, one file a model. They exist in torch only here; the services run their ONNX exports."""
