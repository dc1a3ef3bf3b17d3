"""mentor.cli"""
