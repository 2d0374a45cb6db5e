"""Tables: rows side by side: a ladder, several corpora, published figures, spoiled windows."""
