"""Draw cartoon faces whose attributes are known: parts, identities, captions, pictures, drawings. Imports no torch.

The artwork is Avataaars by Pablo Stanley (https://avataaars.com), as the MIT package ``python_avatars`` has it;
``data/README.md`` has its terms.
"""
