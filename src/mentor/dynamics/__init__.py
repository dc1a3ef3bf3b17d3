"""mentor.dynamics"""
