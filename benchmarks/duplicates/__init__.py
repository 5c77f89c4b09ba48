"""Pairs of questions from a help forum: would one answer serve both?"""
