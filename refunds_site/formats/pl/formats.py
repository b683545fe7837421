"""Polish writes months small, and in full in the genitive: 21 lis 2026, 21 listopada 2026.

As with words, what the desk writes in English is the key: Django asks a language's module for any format by its name.
"""

vars().update(
    {
        "j M Y": "j b Y",
        "j M Y, H:i": "j b Y, H:i",
        "j M Y, H:i:s": "j b Y, H:i:s",
        "j F Y": "j E Y",
        "d M H:i": "j b, H:i",
    }
)
