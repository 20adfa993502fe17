"""Objectives from after the study of arXiv 2504.13837, one file each."""
