"""The ground floor: volumes, trees and the file formats that Vaa3D's users have."""
