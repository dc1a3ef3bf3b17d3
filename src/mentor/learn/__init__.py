"""mentor.learn"""
