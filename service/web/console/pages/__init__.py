"""The pages of the console, one module per subject: what each shows, not how it looks."""
