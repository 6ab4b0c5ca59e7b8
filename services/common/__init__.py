"""What every server shares: settings, the gRPC bootstrap, limits, errors, telemetry and the model runtime."""
