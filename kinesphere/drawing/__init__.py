"""Pictures of motion: contact sheet (PNG), plots (PNG), video (MP4, GIF) and a self-contained HTML viewer.

Nothing is imported here: matplotlib and ffmpeg are only loaded by the module that needs them.
"""
