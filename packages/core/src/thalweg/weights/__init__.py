"""Published weights by name: tables of what there is, and what of it was fetched (no torch here).

Plugins bring the tables, by the hook ``thalweg_weights``. ``thalweg weights get NAME`` fetches, and
``weights:NAME`` stands for the file or folder wherever a place is read. Nothing is downloaded unasked.
"""
