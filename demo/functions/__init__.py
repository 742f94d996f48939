"""The functions that the demo deploys, as somebody writes them who knows nothing of Retrofill."""
