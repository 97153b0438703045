"""What all pages are built from: inputs, painter, pictures, words, stored results, the theme."""
