"""OptiFit as the tests' images have it: a slow address more, and one fault that `E2E_FAULT` names."""
