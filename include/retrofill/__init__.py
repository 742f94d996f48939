"""Retrofill: run a Lambda function over the data you already have."""
