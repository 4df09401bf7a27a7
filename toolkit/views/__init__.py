"""Views: they observe events and stores, and no sweep needs them."""
