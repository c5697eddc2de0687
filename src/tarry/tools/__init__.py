"""Tools to look at what Tarry does; nothing else imports them."""
