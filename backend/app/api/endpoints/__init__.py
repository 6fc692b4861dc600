"""A module for each thing; main.py gathers their routers."""
