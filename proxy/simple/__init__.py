"""The Simple repository API (PEPs 503, 592, 629, 658, 691, 700, 714, 792), pure: types, reading, writing.

Nothing in here does I/O.  The living specification, which also names the types:
https://packaging.python.org/en/latest/specifications/simple-repository-api/
"""
