"""mentor.report"""
