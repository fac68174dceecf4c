# Headers of libraries that most sources include are read once: a third of a cold build went into
# reading them. Sources include what they use all the same; the builds without it (the sanitizers')
# show whether they do.

if(NOT KEELSON_PRECOMPILE)
  return()
endif()
find_package(absl REQUIRED)
find_package(GTest REQUIRED)

set(often_included
    <algorithm> <atomic> <chrono> <cstdint> <functional> <map> <memory> <mutex> <optional> <set> <span>
    <string> <string_view> <utility> <vector> <absl/container/flat_hash_map.h>
    <absl/functional/any_invocable.h> <absl/status/statusor.h> <absl/strings/str_cat.h>)
set(nothing ${CMAKE_SOURCE_DIR}/cmake/precompiled.cc)

# One for each set of options: code of libraries and of programs differs.
add_library(precompiled_library OBJECT ${nothing})
target_precompile_headers(precompiled_library PRIVATE ${often_included})
add_executable(precompiled_program ${nothing})
target_precompile_headers(precompiled_program PRIVATE ${often_included})
add_executable(precompiled_test ${nothing})
target_link_libraries(precompiled_test PRIVATE GTest::gtest GTest::gmock)  # for their definitions
target_precompile_headers(precompiled_test PRIVATE ${often_included} <filesystem> <thread>
                          <gmock/gmock.h> <gtest/gtest.h>)
foreach(target precompiled_library precompiled_program precompiled_test)
  target_compile_options(${target} PRIVATE -fpch-preprocess)  # for ccache
endforeach()
set_target_properties(precompiled_program precompiled_test
                      PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/precompiled)

function(keelson_precompile target)
  get_target_property(type ${target} TYPE)
  get_target_property(libraries ${target} LINK_LIBRARIES)
  if(target MATCHES "^precompiled_|_proto")
    return()
  elseif(type STREQUAL STATIC_LIBRARY)
    set(from precompiled_library)
  elseif(NOT type STREQUAL EXECUTABLE)
    return()
  elseif(libraries MATCHES GTest::)
    set(from precompiled_test)
  else()
    set(from precompiled_program)
  endif()
  target_precompile_headers(${target} REUSE_FROM ${from})
  target_compile_options(${target} PRIVATE -fpch-preprocess)
endfunction()

function(keelson_precompile_all dir)
  get_property(targets DIRECTORY ${dir} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target ${targets})
    keelson_precompile(${target})
  endforeach()
  get_property(below DIRECTORY ${dir} PROPERTY SUBDIRECTORIES)
  foreach(sub ${below})
    keelson_precompile_all(${sub})
  endforeach()
endfunction()
keelson_precompile_all(${CMAKE_SOURCE_DIR})
