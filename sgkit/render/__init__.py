"""Scenes and how they become pictures: compile, render, arrangements, picture and video files."""
