"""The Hugging Face Hub: addresses of repositories, and requests by huggingface_hub, an optional package."""
