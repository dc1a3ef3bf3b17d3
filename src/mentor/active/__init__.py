"""mentor.active"""
