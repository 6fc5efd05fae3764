// Functions that a program need not compile anew.
//
// A function that is marked ANTHER_ONCE is inline, and so it is compiled by each unit that uses it.
// A program that links the target anther::compiled_all has it from that library instead: the target
// defines ANTHER_COMPILED_ALL, with which GCC reads the body but writes no code for it
// (gnu_inline), and does not optimise it for inlining either (optimize(0)). Clang compiles it as
// usual.
//
// For functions of more than a few lines that are neither templates nor constructors.
#pragma once

#if defined(ANTHER_COMPILED_ALL) && defined(__GNUC__) && !defined(__clang__)
#define ANTHER_ONCE __attribute__((gnu_inline, optimize(0))) inline
#else
#define ANTHER_ONCE inline
#endif

// ANTHER_ONCE_FOR(declaration): the same for a template with the arguments of the declaration, by
// any compiler.
#ifdef ANTHER_COMPILED_ALL
#define ANTHER_ONCE_FOR(...) extern template __VA_ARGS__;
#else
#define ANTHER_ONCE_FOR(...)
#endif
