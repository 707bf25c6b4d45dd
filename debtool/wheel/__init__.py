"""A wheel as a payload, its metadata as relations, its lock and how it is fetched.

Hands out `WheelPayload`, `Lock`, `resolve` and `fetch`.
"""
