"""What a binary says of itself: NEEDED, run paths and symbol versions, and which package of the target has them.

Hands out `read_needs`, `library_needs` and `library_clauses`.
"""
