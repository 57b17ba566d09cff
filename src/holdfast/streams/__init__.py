"""What bytes pass through on their way: `chunks` counts and cuts, `compress`, `age` encrypts; and signatures (`sign`).

`age_*` are the parts of that format, `seekable` lets a part be read from the middle. `gunzip`, `openssl` and `unwrap` read
what other programs wrote.
"""
