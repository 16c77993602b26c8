"""Real clients, run through sallyport on the rig: who they are, how each is asked, and what it cost."""
