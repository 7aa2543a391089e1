"""What makes resuming equal to never having stopped."""
