// backend/heads.h
//
// Heads made from the values, where nothing kept them: a walk that reads every record.
//
// Threads: as HeadWalk (backend.h).

#pragma once

#include <memory>

#include "backend/backend.h"

namespace keelson::backend {

// Of the key bucket's records within the bounds. `reader` outlives it.
std::unique_ptr<HeadWalk> heads_from_values(const Reader& reader, const HeadFormat& format,
                                            const IterateOptions& bounds);

}  // namespace keelson::backend
