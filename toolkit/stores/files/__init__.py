"""Files of a store: where bytes lie, whose turn it is to write, what is believed of them."""
