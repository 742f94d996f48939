"""The functions that the demo deploys, written without any knowledge of Retrofill."""
