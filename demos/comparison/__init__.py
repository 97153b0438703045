"""One picture, all papers: the first page's comparison, made of what each paper says it does."""
