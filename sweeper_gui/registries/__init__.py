"""The sources of truth for which sessions exist. Each returns sessions or raises `RegistryError`."""
