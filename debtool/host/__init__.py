"""Host programs: stand-alone, stdlib-only Python (3.10 to 3.14) that is shipped inside packages.

They run on the machine and import nothing of debtool and nothing of each other.
Handed out as source text; of `patcher`, `debtool patch test` asks what packages will do.
"""
