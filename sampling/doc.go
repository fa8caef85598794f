// Package sampling decides at the head of a trace whether it is recorded.
//
// [Ratio] and [Adaptive] are consistent probability samplers: of two services,
// the one that keeps less keeps a part of what the other keeps, and each span
// says in the tracestate, as ot=th, how many it stands for, so that counts made
// from spans are right. [RateLimit] bounds a number, and what it keeps stands
// for itself alone. [Rules] chooses between samplers by route, method, path,
// header or attribute; [Keep] and [Drop] are for its rules.
//
// All of them decide about roots only. otelmon.Setup wraps them in
// [ParentBased], so that spans follow their parents; with another SDK set-up,
// wrap them yourself. They follow the OpenTelemetry specification "TraceState:
// Probability Sampling", are safe for concurrent use and, for a trace that
// comes without a tracestate, allocate nothing.
package sampling
