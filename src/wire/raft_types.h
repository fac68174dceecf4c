// wire/raft_types.h
//
// The raft library's plain data types (entry, hard state, message, …) for those layers that may
// see them only through wire/: the log and whoever stores or ships what raft says.

#pragma once

#include "raft/types.h"  // IWYU pragma: export
