"""mentor.fit"""
