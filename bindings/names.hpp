// Names made of MENTOR_ARCH, the name of an instruction set.
#pragma once

#define MENTOR_TEXT_(x) #x
#define MENTOR_TEXT(x) MENTOR_TEXT_(x)
#define MENTOR_JOIN_(a, b, c) a##b##c
#define MENTOR_JOIN(a, b, c) MENTOR_JOIN_(a, b, c)
