# Run by CPack in the tree that becomes the package: whatever prefix was configured, a Debian package has its
# configuration in /etc and its unit names /usr/sbin.
set(root "${CPACK_TEMPORARY_INSTALL_DIRECTORY}")
if(IS_DIRECTORY "${root}/usr/etc" AND NOT EXISTS "${root}/etc")
    file(RENAME "${root}/usr/etc" "${root}/etc")
endif()
set(unit "${root}/usr/lib/systemd/system/sallyport.service")
if(EXISTS "${unit}")
    file(READ "${unit}" text)
    string(REGEX REPLACE "=[^ \n]*/sbin/sallyport" "=/usr/sbin/sallyport" text "${text}")
    string(REGEX REPLACE "-c [^ \n]*/sallyport.conf" "-c /etc/sallyport/sallyport.conf" text "${text}")
    file(WRITE "${unit}" "${text}")
endif()
