"""OCI images: values, layouts, registries."""
