"""What only the Hugging Face Hub needs: borrowed GPUs, and the files of a Space, checked."""
