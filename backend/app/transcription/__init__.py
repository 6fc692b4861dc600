"""Recordings become text: reading their sound, and the engines that hear words in it. It knows no database."""
