"""What is hoisted, what is kept, and the order of the loop."""
